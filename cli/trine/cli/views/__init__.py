"""The shapes Docker gives to what the API answers."""
