"""How each state's licence file is read: one TOML a file, found by `app.pipeline.layout`."""
