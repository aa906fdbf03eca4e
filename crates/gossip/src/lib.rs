//! SWIM membership as a state machine without I/O, with a QUIC driver behind a feature.
