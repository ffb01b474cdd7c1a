//! Names of the Secrets that a start makes itself.

use crate::domain::ObjectId;

const LONGEST: usize = 63;

/// The Secret that holds the environment and owns everything else of the start.
pub fn secret_name(id: &ObjectId, deployment_name: &str) -> String {
    cut(format!("secret-{id}-{deployment_name}"))
}

/// The Secret that holds the certificates, where the hub sends some.
pub fn certs_secret_name(id: &ObjectId, deployment_name: &str) -> String {
    cut(format!("secret-certs-{id}-{deployment_name}"))
}

/// Cut as the reference does; it forgets that a name must not end in `-`.
fn cut(mut name: String) -> String {
    let end = name.char_indices().nth(LONGEST).map_or(name.len(), |(index, _)| index);
    name.truncate(end);
    name.truncate(name.trim_end_matches(['-', '.']).len());
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(id: &str, deployment: &str) -> [String; 2] {
        let id = ObjectId::from_stored(id.to_owned());
        [secret_name(&id, deployment), certs_secret_name(&id, deployment)]
    }

    #[test]
    fn names_are_those_of_the_reference() {
        assert_eq!(
            names("aa01-s0000001", "k8smgr"),
            ["secret-aa01-s0000001-k8smgr", "secret-certs-aa01-s0000001-k8smgr"]
        );
    }

    #[test]
    fn a_long_name_is_cut_and_never_ends_in_a_dash() {
        let id = "l".repeat(47);
        let [plain, certs] = names(&id, "k8smgr-production");
        assert_eq!(plain, format!("secret-{id}-k8smgr-p"));
        assert_eq!(certs, format!("secret-certs-{id}-k8"));
        assert_eq!(names(&"l".repeat(46), "ab.-xx")[1], format!("secret-certs-{}-ab", "l".repeat(46)));
    }
}
