use super::*;

/// Far more than it takes, also where many others want the machine.
const PATIENCE: Duration = Duration::from_mins(2);

fn lists(member: &Member, other: &Member) -> bool {
    let addr = other.socket.local_addr().unwrap();
    member.gossip.live().any(|listed| listed.addr == addr)
}

#[test]
fn two_members_list_each_other() {
    let [mut first, mut second] = [(); 2].map(|()| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        Member::new(socket).unwrap()
    });
    let join = Input::Join(first.socket.local_addr().unwrap());
    second.gossip.handle(join, second.now()).unwrap();
    while !(lists(&first, &second) && lists(&second, &first)) {
        assert!(first.now() < PATIENCE, "they did not find each other");
        first.turn().unwrap();
        second.turn().unwrap();
    }
}
