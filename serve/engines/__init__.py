"""The engines that ship; each is found by its entry point and nothing here imports a library."""
