"""The host's packet filter: finding out what is there, and changing it in one transaction."""
