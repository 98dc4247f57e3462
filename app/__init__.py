"""The explorer: pages and components on top of `core`, with no arithmetic of their own."""
