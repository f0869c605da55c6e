//! Says who may come.
