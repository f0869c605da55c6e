//! Plugins: what they submit, write, keep, and how they are loaded.
