//! Who holds which slot: the hand-off state machine without I/O and request routing, with a QUIC driver behind a feature.
