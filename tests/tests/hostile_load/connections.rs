//! Places: connections, tokens, file descriptors, requests whose bodies or answers do not move.
