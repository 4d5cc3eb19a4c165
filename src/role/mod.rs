//! role

pub mod submit;
