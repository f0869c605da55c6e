use hubgate_wire::websocket::DataKind;

use super::*;

const NOW: Millis = Millis(1_000);
const LIMIT: usize = 10_000;
const BOUND: Bound = Bound { limit: LIMIT, now: NOW, link: Link::Down };

fn log() -> (LinkLog, KeptAccount) {
    let account = KeptAccount::default();
    (LinkLog::new(account.clone()), account)
}

/// One message.
fn keep(log: &mut LinkLog, frame: &Frame, mark: Mark, bound: Bound) -> Room {
    let kept = KeptFrame::new(frame, 1, log.account());
    log.send(&kept, mark, bound)
}

fn frame(text: &str) -> Frame {
    Frame::of_payload(DataKind::Text, text.as_bytes())
}

fn again(sequence_id: i64, placeholders: usize) -> Again {
    Again { sequence_id, placeholders }
}

fn kept(log: &LinkLog) -> Vec<Frame> {
    log.kept().map(|(frame, _)| frame.clone()).collect()
}

#[track_caller]
fn send(log: &mut LinkLog, texts: &[&str]) {
    texts.iter().for_each(|text| assert_eq!(keep(log, &frame(text), Mark::None, BOUND), Room::Enough));
}

#[test]
fn what_is_not_acknowledged_is_sent_again_from_the_oldest() {
    let (mut log, account) = log();
    assert_eq!(log.resume(NOW), again(1, 0), "nothing was sent");
    log.hear(Said::Sequence(1), 0, NOW);
    send(&mut log, &["a", "b", "c"]);
    assert_eq!(log.hear(Said::Ack(1), 0, NOW), Logged::Taken(0));
    assert_eq!(log.hear(Said::Ack(1), 0, NOW), Logged::Taken(0), "again");
    assert_eq!(log.hear(Said::Ack(0), 0, NOW), Logged::Taken(0), "an old one");
    assert_eq!((log.resume(NOW), kept(&log)), (again(2, 0), vec![frame("b"), frame("c")]));
    log.hear(Said::Sequence(1), 0, NOW);
    assert_eq!(log.hear(Said::Ack(3), 0, NOW), Logged::Taken(0));
    assert_eq!(kept(&log), Vec::new());
    assert_eq!((log.cost(), account.total()), (0, 0));
}

#[test]
fn what_is_acknowledged_while_it_is_sent_again_is_counted_once_more_until_something_new_has_come() {
    let (mut log, _) = log();
    send(&mut log, &["a", "b", "c"]);
    assert_eq!(log.resume(NOW), again(1, 0));
    log.hear(Said::Sequence(1), 0, NOW);
    // It had two of them before the cut; how many it has had since is not known.
    log.hear(Said::Ack(2), 0, NOW);
    assert_eq!((log.resume(NOW), kept(&log)), (again(1, 2), vec![frame("c")]));
    log.hear(Said::Sequence(1), 0, NOW);
    log.hear(Said::Ack(3), 0, NOW);
    assert_eq!((log.resume(NOW), kept(&log)), (again(1, 3), Vec::new()));
    log.hear(Said::Sequence(1), 0, NOW);
    send(&mut log, &["d", "e"]);
    log.hear(Said::Ack(4), 0, NOW);
    assert_eq!((log.resume(NOW), kept(&log)), (again(5, 0), vec![frame("e")]));
}

#[test]
fn no_more_than_some_messages_are_counted_once_more() {
    let (mut log, _) = log();
    let mut most = 0;
    for _ in 0..3 * MOST_PLACEHOLDERS {
        send(&mut log, &["x"]);
        most = most.max(log.resume(NOW).placeholders as u64);
        log.hear(Said::Sequence(1), 0, NOW);
        log.hear(Said::Ack(log.sent as i64), 0, NOW);
    }
    assert_eq!(most, MOST_PLACEHOLDERS);
}

#[test]
fn a_client_goes_on_with_any_message_up_to_the_first_that_has_not_come() {
    let (mut log, _) = log();
    (0..3).for_each(|_| assert_eq!(log.hear(Said::Counted, 1, NOW), Logged::New));
    log.resume(NOW);
    log.hear(Said::Sequence(1), 0, NOW);
    // It was told that all had come, and was cut off before it had said them again.
    log.resume(NOW);
    assert_eq!(log.hear(Said::Sequence(4), 0, NOW), Logged::Over);
    assert_eq!(log.hear(Said::Counted, 1, NOW), Logged::New);
}

#[test]
fn what_is_kept_has_a_bound_and_counts_for_all_until_it_is_gone() {
    let (mut first, account) = log();
    let mut second = LinkLog::new(account.clone());
    assert_eq!(
        keep(&mut first, &frame(&"x".repeat(LIMIT)), Mark::None, BOUND),
        Room::Enough,
        "a large one alone passes"
    );
    assert_eq!(keep(&mut first, &frame("x"), Mark::None, BOUND), Room::TooLittle);
    send(&mut second, &["y"]);
    assert_eq!(account.total(), first.cost() + second.cost());
    assert_eq!((first.resume(NOW), first.sent), (again(1, 0), 1), "what was not kept was not sent");
    drop(first);
    assert_eq!(account.total(), second.cost());
    drop(second);
    assert_eq!(account.total(), 0);
}

#[test]
fn a_client_that_is_connected_has_some_seconds_to_acknowledge_what_is_beyond_the_bound() {
    let half = frame(&"x".repeat(LIMIT / 2));
    let send = |log: &mut LinkLog, after: u64, link| {
        keep(log, &half, Mark::None, Bound { limit: LIMIT, now: NOW + Millis(after), link })
    };
    let (mut first, _) = log();
    let fits = (0..100).take_while(|_| send(&mut first, 0, Link::Up) == Room::Enough).count();
    assert_eq!(fits, 2 * OVERRUN - 1, "with what keeping costs");
    let (mut second, _) = log();
    (0..3).for_each(|_| assert_eq!(send(&mut second, 0, Link::Up), Room::Enough));
    assert_eq!(send(&mut second, 2_900, Link::Up), Room::Enough);
    assert_eq!(send(&mut second, 3_000, Link::Up), Room::TooLittle);
    second.hear(Said::Ack(1), 0, NOW);
    assert_eq!([Link::Up, Link::Down].map(|link| send(&mut second, 3_000, link)), [Room::Enough, Room::TooLittle]);
    second.resume(NOW + Millis(9_000));
    let after = [9_000, 11_900, 12_000].map(|after| send(&mut second, after, Link::Up));
    assert_eq!(after, [Room::Enough, Room::Enough, Room::TooLittle], "while it was away it could acknowledge nothing");
}

#[test]
fn what_many_clients_keep_counts_once_for_all_and_as_a_whole_for_each() {
    let (mut first, account) = log();
    let mut others = [(); 9].map(|()| LinkLog::new(account.clone()));
    let shared = KeptFrame::new(&frame(&"x".repeat(LIMIT / 2)), 1, &account);
    for log in others.iter_mut().chain([&mut first]) {
        assert_eq!(log.send(&shared, Mark::None, BOUND), Room::Enough);
        assert!(log.cost() > LIMIT / 2);
    }
    drop(shared);
    assert!((LIMIT / 2..LIMIT).contains(&account.total()), "{}", account.total());
    assert!((account.total() / 10..LIMIT / 10).contains(&first.part()), "{}", first.part());
    drop(others);
    assert!(account.total() == first.cost() && first.part() == first.cost(), "it is the last that keeps it");
    first.hear(Said::Ack(1), 0, NOW);
    assert_eq!((account.total(), first.part()), (0, 0));
}

#[test]
fn several_messages_in_one_frame_are_acknowledged_one_by_one_and_sent_again_together() {
    let (mut log, _) = log();
    let two = KeptFrame::new(&frame("two"), 2, log.account());
    log.send(&two, Mark::None, BOUND);
    send(&mut log, &["third"]);
    log.hear(Said::Ack(1), 0, NOW);
    assert_eq!((log.resume(NOW), kept(&log)), (again(1, 0), vec![frame("two"), frame("third")]));
    log.hear(Said::Sequence(1), 0, NOW);
    log.hear(Said::Ack(2), 0, NOW);
    assert_eq!((log.resume(NOW), kept(&log)), (again(1, 2), vec![frame("third")]));
}

#[test]
fn what_somebody_waits_for_is_taken_once_when_it_has_left_or_is_acknowledged() {
    let (mut log, _) = log();
    let awaited = |log: &LinkLog| log.kept().filter(|(_, mark)| *mark == Mark::Awaited).count();
    for mark in [Mark::Awaited, Mark::None, Mark::Awaited, Mark::Awaited] {
        keep(&mut log, &frame("x"), mark, BOUND);
    }
    assert!(log.left(), "the first has left");
    let ack = |log: &mut LinkLog, number| log.hear(Said::Ack(number), 0, NOW);
    assert_eq!([ack(&mut log, 2), ack(&mut log, 3), ack(&mut log, 3)], [0, 1, 0].map(Logged::Taken));
    assert!(!log.left(), "the second, which was acknowledged before it was seen to leave");
    assert_eq!(awaited(&log), 1);
    log.resume(NOW);
    log.hear(Said::Sequence(1), 0, NOW);
    assert_eq!(awaited(&log), 1, "it is sent again, and waited for");
    assert_eq!([log.left(), log.left()], [true, false]);
    assert_eq!(ack(&mut log, 4), Logged::Taken(0));
}

#[test]
fn what_comes_again_goes_no_further() {
    let (mut log, _) = log();
    let hear = |log: &mut LinkLog, said| log.hear(said, 1, NOW);
    assert_eq!([hear(&mut log, Said::Counted), hear(&mut log, Said::Counted)], [Logged::New, Logged::New]);
    log.resume(NOW);
    for before in [Said::Counted, Said::Uncounted, Said::Close, Said::Ack(9)] {
        assert_eq!(hear(&mut log, before), Logged::Over, "it comes before the Sequence");
    }
    assert!(!log.has_said_close());
    assert_eq!(hear(&mut log, Said::Sequence(2)), Logged::Over);
    assert_eq!([hear(&mut log, Said::Counted), hear(&mut log, Said::Counted)], [Logged::Over, Logged::New]);
    assert_eq!(log.take_ack(NOW + ACK_DELAY), Some(3));
}

#[test]
fn what_came_is_acknowledged_when_it_is_much_or_a_second_old_and_again_to_one_that_has_missed_it() {
    let (mut log, _) = log();
    assert_eq!((log.ack_due(), log.take_ack(NOW)), (None, None));
    log.hear(Said::Uncounted, ACK_BYTES, NOW);
    assert_eq!(log.ack_due(), None, "pings are not counted");
    log.hear(Said::Counted, 1, NOW);
    log.hear(Said::Counted, 1, NOW + Millis(500));
    assert_eq!((log.ack_due(), log.take_ack(NOW)), (Some(NOW + ACK_DELAY), None));
    assert_eq!(log.take_ack(NOW + ACK_DELAY), Some(2));
    log.hear(Said::Counted, ACK_BYTES / 2, NOW);
    log.hear(Said::Counted, ACK_BYTES / 2, NOW);
    assert_eq!((log.take_ack(NOW), log.take_ack(NOW + ACK_DELAY)), (Some(4), None));
    log.resume(NOW);
    assert_eq!(log.take_ack(NOW + ACK_DELAY), None);
    log.hear(Said::Sequence(4), 0, NOW);
    assert_eq!(log.take_ack(NOW), Some(4));
    log.resume(NOW);
    log.hear(Said::Sequence(5), 0, NOW);
    assert_eq!(log.take_ack(NOW), None, "it has not missed anything");
}

#[test]
fn numbers_that_cannot_be_are_named() {
    let breach = |resumes: usize, said| {
        let (mut log, _) = log();
        send(&mut log, &["a"]);
        log.hear(Said::Counted, 1, NOW);
        for _ in 0..resumes {
            log.resume(NOW);
        }
        match log.hear(said, 0, NOW) {
            Logged::Breach(breach) => Some(breach),
            Logged::New | Logged::Over | Logged::Taken(_) => None,
        }
    };
    for number in [2, -1, i64::MAX, i64::MIN] {
        assert_eq!(breach(0, Said::Ack(number)), Some(Breach::AckOfUnsent(number, 1)));
    }
    assert_eq!(breach(0, Said::Sequence(1)), Some(Breach::UnexpectedSequence));
    assert_eq!((breach(1, Said::Sequence(2)), breach(2, Said::Sequence(1))), (None, None));
    for number in [3, i64::MAX] {
        assert_eq!(breach(1, Said::Sequence(number)), Some(Breach::Gap(number, 1)));
    }
    for number in [0, -1, i64::MIN] {
        assert_eq!(breach(1, Said::Sequence(number)), Some(Breach::NoNumber(number)));
    }
    let (mut log, _) = log();
    log.resume(NOW);
    log.hear(Said::Sequence(1), 0, NOW);
    assert_eq!(log.hear(Said::Sequence(1), 0, NOW), Logged::Breach(Breach::UnexpectedSequence), "a second one");
}

#[test]
fn a_client_may_resume_some_times_at_once_and_then_ten_times_a_second() {
    let (mut log, _) = log();
    let mut resume = |now| log.may_resume(now).then(|| log.resume(now)).is_some();
    assert_eq!((0..1_000).filter(|_| resume(NOW)).count(), 50);
    let later = (0..1_000).filter(|call| resume(NOW + Millis(*call))).count();
    assert!((9..=11).contains(&later), "{later}");
    assert!(resume(NOW + Millis(10_000)));
}
