"""A Hub that takes uploads into a folder of this machine."""

import shutil
from pathlib import Path


class FakeHub:
    """The two calls of the Hub client that are used, onto a folder."""

    def __init__(self, folder: Path, error: Exception | None = None):
        self.folder, self.error, self.calls = folder, error, []

    def create_repo(self, repo_id, *, private=None, exist_ok=False):
        self.calls.append(("create", repo_id, private, exist_ok))
        return f"https://huggingface.co/{repo_id}"

    def upload_folder(self, *, repo_id, folder_path, commit_message):
        if self.error:
            raise self.error
        self.calls.append(("upload", repo_id, commit_message))
        shutil.copytree(folder_path, self.folder)

    def files(self):
        return {str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file()}
