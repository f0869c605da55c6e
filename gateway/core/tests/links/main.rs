//! Clients that may resume, and a shard, with a link between them that is cut anywhere: each side must see what the other has said once and in
//! order, whatever became of the bytes. Both count in a row, so that the number that comes is all that has to be compared.

mod every_byte;
mod naive;
mod random;
mod wire;
mod world;
