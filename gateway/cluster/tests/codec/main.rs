//! What passes between nodes, as bytes and back: golden bytes, whatever is written comes back, as long as was said, and what others
//! make of it breaks nothing.

mod any;
mod corpus;
mod frames;
mod golden;
mod hostile;
mod items;
mod memory;
