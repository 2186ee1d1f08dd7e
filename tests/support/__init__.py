"""What tests of the whole engine share: real stacks in throw-away roots, ptys, a leak checker."""
