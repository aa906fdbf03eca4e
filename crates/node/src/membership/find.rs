//! Which member an operator means.

use boato_api::Declined;
use boato_gossip::{Member, NodeId};

/// Fewest digits of an id that name a member.
const DIGITS_MIN: usize = 4;

/// The member of this name, or whose id begins with these digits. Where several have the name, the live one is meant.
///
/// # Errors
/// [`Declined::Unknown`]: there is none. [`Declined::Conflict`]: there are several.
pub(crate) fn find<'a>(members: &'a [Member], which: &str) -> Result<&'a Member, Declined> {
    let named: Vec<&Member> = members.iter().filter(|member| *member.name == *which).collect();
    let live: Vec<&Member> = named.iter().copied().filter(|member| member.is_live()).collect();
    let digits = which.len() >= DIGITS_MIN && which.bytes().all(|byte| byte.is_ascii_hexdigit());
    let has_id = |id: NodeId| digits && id.to_string().starts_with(&which.to_ascii_lowercase());
    let by_id: Vec<&Member> = members.iter().filter(|member| has_id(member.id)).collect();
    let candidates = [live, named, by_id].into_iter().find(|candidates| !candidates.is_empty());
    match candidates.as_deref() {
        None => Err(Declined::Unknown(format!(
            "no member is called {which:?} or has an id that begins so: boato members lists all"
        ))),
        Some([only]) => Ok(only),
        Some(several) => {
            let ids: Vec<String> = several.iter().map(|member| member.id.short().to_string()).collect();
            Err(Declined::Conflict(format!("{which:?} may be any of {}: give an id", ids.join(", "))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use boato_gossip::{Signature, State, Tags};

    fn member(id: u128, name: &str, state: State) -> Member {
        let addr = ([127, 0, 0, 1], 7400).into();
        Member {
            id: NodeId(id << 96),
            boot: 1,
            incarnation: 0,
            addr,
            state,
            name: name.into(),
            tags: Tags::default(),
            signature: Signature::default(),
        }
    }

    #[test]
    fn a_member_is_found_by_its_name_or_id() {
        let members = [
            member(0xabcd_0001, "web1", State::Alive),
            member(0xabcd_0002, "web1", State::Dead),
            member(0xabcd_0003, "web2", State::Dead),
            member(0xabcd_0004, "twin", State::Alive),
            member(0xabcd_0005, "twin", State::Suspect),
        ];
        let found = |which| find(&members, which).map(|member| member.id.0 >> 96);
        assert_eq!(
            [found("web1"), found("web2"), found("ABCD0002")],
            [Ok(0xabcd_0001), Ok(0xabcd_0003), Ok(0xabcd_0002)]
        );
        let error = found("twin").unwrap_err().to_string();
        assert!(error.contains("abcd0004, abcd0005"), "{error}");
        assert!(matches!(found("abcd"), Err(Declined::Conflict(_))));
        assert!(matches!(
            (found("abc"), found("web3")),
            (Err(Declined::Unknown(_)), Err(Declined::Unknown(_)))
        ));
    }
}
