//! **Here**: bytes on the wire to operations and back.
