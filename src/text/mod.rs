//! **Here**: names, wildcards, modified UTF-7, numbers.
