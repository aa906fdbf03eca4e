//! A QUIC mesh for a cluster: one endpoint per node, identity from a shared secret, datagrams and framed streams.
