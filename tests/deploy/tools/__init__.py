"""Programs that only tests of the rendered configuration use, outside the project's environment: `make tools`."""
