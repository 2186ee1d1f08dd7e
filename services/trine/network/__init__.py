"""The network service: networks, sandboxes, endpoints, published ports, DNS."""
