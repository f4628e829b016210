"""The console, as a browser and as a program see it."""
