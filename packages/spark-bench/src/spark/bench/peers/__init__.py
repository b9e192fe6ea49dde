"""The same work on other libraries: adapters, a process for each, and contests between them."""
