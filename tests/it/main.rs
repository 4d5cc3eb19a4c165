//! Integration tests.

mod submit;
