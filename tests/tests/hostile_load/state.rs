//! State of hubs: clients that have left, memberships, hub names, ids and names of any length.
