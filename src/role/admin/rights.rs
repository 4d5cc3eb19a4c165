//! What a local user may do: the kernel tells who it is, not the mode of the socket file.

use nix::unistd::{Group, getegid, geteuid};

use crate::admin::Right;
use crate::os::peer::Peer;

/// Group whose members may do everything.
const FULL: &str = "emailrelay-admin";
/// Group of the spool: its members may see to it that mail moves.
const OPERATOR: &str = "emailrelay";
/// Group of those who read logs: its members may look.
const READER: &str = "adm";

/// The users and groups with rights.
#[derive(Debug)]
pub(super) struct Rights {
    own_user: u32,
    full: Option<u32>,
    operators: Vec<u32>,
    readers: Option<u32>,
}

impl Rights {
    /// For the user and group that the process has now.
    pub(super) fn of_this_process() -> Self {
        let group = |name| Group::from_name(name).ok().flatten().map(|group| group.gid.as_raw());
        Self {
            own_user: geteuid().as_raw(),
            full: group(FULL),
            operators: group(OPERATOR).into_iter().chain([getegid().as_raw()]).collect(),
            readers: group(READER),
        }
    }

    /// What this user may do; none: nothing at all.
    pub(super) fn of(&self, peer: &Peer) -> Option<Right> {
        let is_member = |group: &u32| peer.groups.contains(group);
        if peer.uid == 0 || peer.uid == self.own_user || self.full.as_ref().is_some_and(is_member) {
            Some(Right::Full)
        } else if self.operators.iter().any(is_member) {
            Some(Right::Operator)
        } else {
            self.readers.as_ref().is_some_and(is_member).then_some(Right::ReadOnly)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_groups_decide() {
        let rights = Rights { own_user: 100, full: Some(10), operators: vec![20, 21], readers: Some(4) };
        let of = |uid, groups: &[u32]| rights.of(&Peer { pid: 1, uid, groups: groups.to_vec() });
        assert_eq!(of(0, &[0]), Some(Right::Full));
        assert_eq!(of(100, &[]), Some(Right::Full));
        assert_eq!(of(1000, &[1000, 10]), Some(Right::Full));
        assert_eq!(of(1000, &[21]), Some(Right::Operator));
        assert_eq!(of(1000, &[4, 1000]), Some(Right::ReadOnly));
        assert_eq!(of(1000, &[1000]), None);
        let bare = Rights { full: None, readers: None, operators: Vec::new(), ..rights };
        assert_eq!(bare.of(&Peer { pid: 1, uid: 1000, groups: vec![4, 10, 20] }), None);
    }
}
