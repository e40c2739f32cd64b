"""The Gradio page. It uses only the results and errors of ``lora_mcl``."""
