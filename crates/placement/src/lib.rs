//! Key to slot to node: CRC16 slots and weighted rendezvous hashing with bounded load.
