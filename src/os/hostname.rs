//! The name of this machine.

use std::env;

use nix::unistd::gethostname;

/// The kernel's node name; `$HOSTNAME` or `localhost` if it has none. Never blocks.
pub fn node_name() -> String {
    let kernel = gethostname().ok().and_then(|name| name.into_string().ok());
    kernel
        .filter(|name| is_usable(name))
        .or_else(|| env::var("HOSTNAME").ok().filter(|name| is_usable(name)))
        .unwrap_or_else(|| "localhost".to_owned())
}

/// The default of `--domain`: the node name if it is fully qualified, else the node name in `localnet`. No DNS query is made: it could block
/// the start for half a minute.
pub fn default_domain() -> String {
    qualified(&node_name())
}

fn qualified(name: &str) -> String {
    let name = name.trim_end_matches('.');
    if name.contains('.') { name.to_owned() } else { format!("{name}.localnet") }
}

/// The kernel takes any bytes for a node name; in a greeting only those of a domain may appear.
fn is_usable(name: &str) -> bool {
    !name.is_empty()
        && name != "(none)"
        && name.len() <= 253
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        && !name.starts_with('.')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_name_gets_a_domain() {
        assert_eq!(qualified("relay"), "relay.localnet");
        assert_eq!(qualified("relay.example.com"), "relay.example.com");
        assert_eq!(qualified("relay.example.com."), "relay.example.com");
        assert!(default_domain().contains('.'));
    }

    #[test]
    fn odd_node_names_are_not_used() {
        for bad in ["", "(none)", "a b", "a\r\nb", ".x", &"x".repeat(254)] {
            assert!(!is_usable(bad), "{bad:?}");
        }
        assert!(is_usable("relay-1"));
    }
}
