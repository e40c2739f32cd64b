"""The page: all that is about looks and browsers. It knows ``lora_mcl`` by its results and errors only."""
