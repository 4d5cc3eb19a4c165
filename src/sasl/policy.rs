//! Which mechanisms may be used: the values of `--server-auth-config` and `--client-auth-config`.

use super::mechanism::Mechanism;

/// The lists for clear and for encrypted sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    clear: Lists,
    secure: Lists,
}

/// What one kind of session may use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Lists {
    /// In order of preference; none: all.
    allowed: Option<Vec<Mechanism>>,
    denied: Vec<Mechanism>,
}

impl Policy {
    /// Reads `m:a,b;x:c;a:d;d:e` and lists the words that mean nothing.
    ///
    /// `m` allows and `x` denies; if `a` or `d` is there, these count for encrypted sessions and the first two for
    /// clear ones only.
    pub fn parse(text: &str) -> (Self, Vec<String>) {
        let mut unknown = Vec::new();
        let mut lists: [Option<Vec<Mechanism>>; 4] = [None, None, None, None];
        for item in text.split(';').map(str::trim).filter(|item| !item.is_empty()) {
            let (key, names) = item.split_once(':').unwrap_or((item, ""));
            let index = ["m", "x", "a", "d"].iter().position(|known| known.eq_ignore_ascii_case(key.trim()));
            let Some(list) = index.filter(|_| item.contains(':')).and_then(|index| lists.get_mut(index))
            else {
                unknown.push(item.to_owned());
                continue;
            };
            let list = list.get_or_insert_default();
            for name in names.split(',').map(str::trim).filter(|name| !name.is_empty()) {
                match Mechanism::by_name(name) {
                    Some(mechanism) => list.push(mechanism),
                    None => unknown.push(name.to_owned()),
                }
            }
        }
        let [allowed, denied, allowed_secure, denied_secure] = lists;
        let clear = Lists { allowed, denied: denied.unwrap_or_default() };
        let secure = if allowed_secure.is_some() || denied_secure.is_some() {
            Lists { allowed: allowed_secure, denied: denied_secure.unwrap_or_default() }
        } else {
            clear.clone()
        };
        (Self { clear, secure }, unknown)
    }

    /// As [`Policy::parse`], with the habits of `--client-auth-config`: a single bare name is the list of that one, and an
    /// empty `m` alone limits nothing.
    pub fn parse_client(text: &str) -> (Self, Vec<String>) {
        if let Some(mechanism) = Mechanism::by_name(text.trim()) {
            let lists = Lists { allowed: Some(vec![mechanism]), denied: Vec::new() };
            return (Self { clear: lists.clone(), secure: lists }, Vec::new());
        }
        let (mut policy, unknown) = Self::parse(text);
        if policy.clear == policy.secure && policy.clear.allowed.as_ref().is_some_and(Vec::is_empty) {
            policy.clear.allowed = None;
            policy.secure.allowed = None;
        }
        (policy, unknown)
    }

    /// The same without the mechanisms that E-MailRelay 2.6 does not have, unless a list allows them by name.
    #[must_use]
    pub fn old(mut self) -> Self {
        for lists in [&mut self.clear, &mut self.secure] {
            if lists.allowed.is_none() {
                lists.denied.extend([Mechanism::ScramSha256, Mechanism::ScramSha256Plus]);
            }
        }
        self
    }

    /// Those of `usable` that may be used, in the order of the list that allows them, else in their own.
    pub fn choose(&self, usable: &[Mechanism], secure: bool) -> Vec<Mechanism> {
        let lists = if secure { &self.secure } else { &self.clear };
        let allowed = match &lists.allowed {
            Some(list) => list.iter().copied().filter(|mechanism| usable.contains(mechanism)).collect(),
            None => usable.to_vec(),
        };
        let mut chosen: Vec<Mechanism> = Vec::with_capacity(allowed.len());
        for mechanism in allowed {
            if !lists.denied.contains(&mechanism) && !chosen.contains(&mechanism) {
                chosen.push(mechanism);
            }
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USABLE: &[&str] = &["CRAM-SHA256", "CRAM-MD5", "PLAIN", "LOGIN"];

    fn chosen(config: &str, secure: bool) -> String {
        let usable: Vec<_> = USABLE.iter().filter_map(|name| Mechanism::by_name(name)).collect();
        let names: Vec<_> =
            Policy::parse(config).0.choose(&usable, secure).into_iter().map(Mechanism::name).collect();
        names.join(" ")
    }

    #[test]
    fn old_lists_have_what_they_name_and_nothing_new() {
        let usable = ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "CRAM-MD5"];
        let usable: Vec<_> = usable.iter().filter_map(|name| Mechanism::by_name(name)).collect();
        let names = |config: &str, secure| {
            let chosen = Policy::parse(config).0.old().choose(&usable, secure);
            chosen.into_iter().map(Mechanism::name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!((names("", false).as_str(), names("", true).as_str()), ("CRAM-MD5", "CRAM-MD5"));
        assert_eq!(names("x:cram-md5", false), "");
        assert_eq!(names("m:scram-sha-256", false), "SCRAM-SHA-256");
        assert_eq!(names("a:scram-sha-256,cram-md5", true), "SCRAM-SHA-256 CRAM-MD5");
    }

    #[test]
    fn lists_choose_and_order() {
        let all = "CRAM-SHA256 CRAM-MD5 PLAIN LOGIN";
        for (config, clear, secure) in [
            ("", all, all),
            ("m:plain", "PLAIN", "PLAIN"),
            ("m:login,plain", "LOGIN PLAIN", "LOGIN PLAIN"),
            ("X:Plain, login", "CRAM-SHA256 CRAM-MD5", "CRAM-SHA256 CRAM-MD5"),
            ("m:", "", ""),
            ("m:;a:plain", "", "PLAIN"),
            ("a:plain", all, "PLAIN"),
            ("a:", all, ""),
            ("d:plain ; m:login", "LOGIN", "CRAM-SHA256 CRAM-MD5 LOGIN"),
            ("a:cram-sha256;x:login", "CRAM-SHA256 CRAM-MD5 PLAIN", "CRAM-SHA256"),
            ("plain", all, all),
            ("m:foo", "", ""),
            ("m:plain,plain", "PLAIN", "PLAIN"),
            ("m:plain,login;x:login", "PLAIN", "PLAIN"),
        ] {
            assert_eq!(
                (chosen(config, false).as_str(), chosen(config, true).as_str()),
                (clear, secure),
                "{config}"
            );
        }
    }

    #[test]
    fn clients_have_habits_of_their_own() {
        let all = "CRAM-SHA256 CRAM-MD5 PLAIN LOGIN";
        for (config, clear, secure) in [
            ("plain", "PLAIN", "PLAIN"),
            ("m:", all, all),
            ("m:;a:plain", "", "PLAIN"),
            ("m:;x:plain", "CRAM-SHA256 CRAM-MD5 LOGIN", "CRAM-SHA256 CRAM-MD5 LOGIN"),
            ("m:;d:", "", all),
            ("plain,login", all, all),
        ] {
            let usable: Vec<_> = USABLE.iter().filter_map(|name| Mechanism::by_name(name)).collect();
            let (policy, _) = Policy::parse_client(config);
            let names = |secure| {
                let chosen = policy.choose(&usable, secure);
                chosen.into_iter().map(Mechanism::name).collect::<Vec<_>>().join(" ")
            };
            assert_eq!((names(false).as_str(), names(true).as_str()), (clear, secure), "{config}");
        }
    }

    #[test]
    fn words_without_meaning_are_reported() {
        assert_eq!(Policy::parse("plain; m:foo,login;y:plain").1, ["plain", "foo", "y:plain"]);
        assert!(Policy::parse("m:cram-md5;a: ").1.is_empty());
    }

    proptest::proptest! {
        #[test]
        fn no_text_upsets_the_reader(text: String) {
            let (policy, _) = Policy::parse(&text);
            let chosen = policy.choose(&Mechanism::ALL, true);
            proptest::prop_assert!(chosen.len() <= Mechanism::ALL.len());
        }
    }
}
