"""The API's input component for a picture or sound: accepts every file and publishes a schema of accepted values."""

from __future__ import annotations

from typing import Any

import gradio as gr

from lora_mcl.errors import MediaError
from ui.fetching import fetch
from ui.modality import ModalityText


class MediaInput(gr.JSON):
    """An invisible input whose value is the JSON that a client sends; ``ui.uploads.uploaded_file`` reads it.

    Gradio's own image and audio components fail without a message on what they do not take, and their schema
    advertises more than that.
    """

    # For the frontend this is the component it derives from.
    is_template = True

    def __init__(self, modality: ModalityText, fetch_urls: bool) -> None:
        """``fetch_urls``: whether the server fetches files from addresses that clients give."""
        super().__init__(visible=False, label=f"Your {modality.noun}")
        self._modality = modality
        self._fetch_urls = fetch_urls

    def get_config(self, cls: type | None = None) -> dict[str, Any]:
        """Properties for the frontend, which are those of the component it derives from."""
        return super().get_config(gr.JSON)

    def api_info(self) -> dict[str, Any]:
        """JSON schema: Gradio's file data, as ``gradio_client.handle_file`` makes it."""
        noun = self._modality.noun
        address = ", or an http(s) address" if self._fetch_urls else ""
        path = f"Path that uploading the {noun} to /gradio_api/upload gave{address}."
        return {
            "title": "FileData",
            "type": "object",
            "properties": {
                "path": {"type": "string", "description": path},
                "url": {"type": "string", "description": f"In place of path: the {noun} as data:...;base64,..."},
                "orig_name": {"type": "string", "description": "Name of the file."},
                "meta": {
                    "type": "object",
                    "properties": {"_type": {"const": "gradio.FileData", "type": "string"}},
                    "default": {"_type": "gradio.FileData"},
                },
            },
            "additional_description": f"The {noun}: a local file by handle_file(path){address}.",
        }

    def example_payload(self) -> Any:
        """Placeholder of the published examples; the path is the client's own."""
        name = "photo.jpg" if self._modality.name == "image" else "sound.wav"
        return {"path": name, "meta": {"_type": "gradio.FileData"}}

    async def async_move_resource_to_block_cache(self, url_or_file_path: Any) -> str | None:
        """Where Gradio fetches a client's addresses; uploads are in the cache already."""
        if not str(url_or_file_path).startswith(("http://", "https://")):
            return await super().async_move_resource_to_block_cache(url_or_file_path)
        noun = self._modality.noun
        if not self._fetch_urls:
            raise gr.Error(
                f"Addresses are not fetched from here: upload the {noun}, or send it as data:...;base64,...",
                print_exception=False,
            )
        try:
            file = await fetch(str(url_or_file_path), self.GRADIO_CACHE, noun)
        except MediaError as error:
            raise gr.Error(str(error), print_exception=False) from None
        self.temp_files.add(str(file))
        return str(file)


class FilesInput(MediaInput):
    """The same for several files: a list of what ``MediaInput`` takes."""

    is_template = True

    def api_info(self) -> dict[str, Any]:
        """JSON schema: an array of Gradio's file data."""
        return {
            "title": "ListFiles",
            "type": "array",
            "items": super().api_info(),
            "additional_description": "The files: [handle_file(path), ...].",
        }

    def example_payload(self) -> Any:
        """Placeholder of the published examples; the paths are the client's own."""
        return [super().example_payload()]
