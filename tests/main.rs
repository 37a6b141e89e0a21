//! The one test binary: each module here is one subject.

mod layering;
mod message;
