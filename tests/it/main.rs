//! Integration tests.

#[cfg(test)]
mod bad_config;
