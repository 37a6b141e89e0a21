//! **Here**: the text configuration database and the catalogue of parameters.
