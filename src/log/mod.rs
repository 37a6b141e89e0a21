//! **Here**: the documented log line and its rotation.
