//! Commands in both header forms, good and bad.
#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use hex_literal::hex;
use proptest::prelude::*;
use rocketkube_protocol::{
    Command, DecodeError, FrameError, HeaderForm, Language, Request, RequestCode, Response,
    ResponseCode, frame, version,
};

/// A frame, without its length field, around a JSON header.
fn json_frame(header: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(header.len()).unwrap().to_be_bytes().to_vec();
    frame.extend_from_slice(header);
    frame
}

fn decode_json(header: &str) -> Result<Command, DecodeError> {
    Command::decode(&json_frame(header.as_bytes()))
}

fn decode_binary(header: &[u8]) -> Result<Command, DecodeError> {
    let mut frame = json_frame(header);
    frame[0] = 1;
    Command::decode(&frame)
}

#[test]
fn a_heartbeat_answer_looks_as_documented() {
    let answer =
        Response { form: HeaderForm::Json, code: ResponseCode::SUCCESS, opaque: 7, remark: None };
    let mut bytes = Vec::new();
    answer.write(&mut bytes, |_| (), b"");
    let text = r#"{"code":0,"extFields":{},"flag":1,"language":"JAVA","opaque":7,"serializeTypeCurrentRPC":"JSON","version":479}"#;
    assert_eq!(bytes[..4], u32::try_from(text.len() + 4).unwrap().to_be_bytes());
    assert_eq!(bytes[4..8], u32::try_from(text.len()).unwrap().to_be_bytes());
    assert_eq!(std::str::from_utf8(&bytes[8..]).unwrap(), text);
}

/// `GET_ROUTEINFO_BY_TOPIC` of a Go client of ordinal 317, topic T1.
#[test]
fn a_binary_request_is_read_and_written_byte_for_byte() {
    let bytes = hex!(
        "00000026 01000022 0069 09 013d 00000001 00000000 00000000 0000000d 0005 746f706963 00000002 5431"
    );
    assert_eq!(frame::split(&bytes), Ok(Some(bytes.len())));
    let request = Request::decode(&bytes[4..]).unwrap();
    assert_eq!(request.form, HeaderForm::Binary);
    assert_eq!(request.code, RequestCode::GET_ROUTEINFO_BY_TOPIC);
    assert_eq!((request.language, request.version, request.opaque), (Language::Go, 317, 1));
    assert_eq!(request.ext.get("topic").as_deref(), Some("T1"));
    let mut again = Vec::new();
    Command::from(&request).encode_into(&mut again).unwrap();
    assert_eq!(again, bytes);
}

#[test]
fn members_come_in_any_order_with_any_white_space() {
    let command = decode_json(
        " { \"extFields\" : { \"b\" : \"2\" , \"a\" : \"\\u0031\\u0001\" } ,\t\"x\":[{\"y\":[]}],\n \
         \"version\":493, \"flag\":2,\r\"language\":\"GO\",\"opaque\":-5,\"code\":310,\
         \"remark\":\"\" } ",
    )
    .unwrap();
    assert_eq!((command.code, command.opaque, command.version), (310, -5, 493));
    assert_eq!((command.language, command.remark.as_deref()), (Language::Go, None));
    assert!(command.is_oneway() && !command.is_response());
    assert_eq!(command.fields().get("a").as_deref(), Some("1\u{1}"));
    assert_eq!(command.fields().get("b").as_deref(), Some("2"));
}

#[test]
fn fields_may_be_missing_null_or_empty() {
    for header in [
        r#"{"code":34}"#,
        r#"{"code":34,"extFields":null}"#,
        r#"{"code":34,"extFields":{}}"#,
        r#"{"code":34,"extFields":{"a":null}}"#,
        r#"{"code":34,"extFields":[1,2]}"#,
    ] {
        let command = decode_json(header).unwrap();
        assert_eq!((command.code, command.ext.len()), (34, 0), "{header}");
    }
}

#[test]
fn of_duplicate_members_the_last_one_wins() {
    let command =
        decode_json(r#"{"code":1,"code":34,"extFields":{"a":"1"},"extFields":{"b":"1","b":"2"}}"#)
            .unwrap();
    assert_eq!(command.code, 34);
    assert_eq!(command.fields().get("a"), None);
    assert_eq!(command.fields().get("b").as_deref(), Some("2"));
}

#[test]
fn numbers_are_checked_and_missing_ones_are_zero() {
    assert_eq!(decode_json("{}").unwrap().code, 0);
    assert_eq!(decode_json(r#"{"code":-1,"opaque":null}"#).unwrap().code, -1);
    assert_eq!(decode_json(r#"{"code":"310"}"#).unwrap().code, 310);
    assert_eq!(decode_json(r#"{"version":-7}"#).unwrap().version, -7);
    for header in [
        r#"{"code":"text"}"#,
        r#"{"code":1e400}"#,
        r#"{"code":4294967296}"#,
        r#"{"code":1.5}"#,
        r#"{"code":true}"#,
    ] {
        assert_eq!(decode_json(header), Err(DecodeError::NotAnInteger { member: "code" }));
    }
    for header in [r#"{"opaque":2147483648}"#, r#"{"opaque":"x"}"#] {
        assert_eq!(decode_json(header), Err(DecodeError::NotAnInteger { member: "opaque" }));
    }
    assert!(matches!(decode_json(r#"{"code":[1]}"#), Err(DecodeError::Json(_))));
}

#[test]
fn an_unknown_language_is_other() {
    assert_eq!(decode_json(r#"{"language":"KLINGON"}"#).unwrap().language, Language::Other);
    assert_eq!(decode_json(r#"{"language":12}"#).unwrap().language, Language::Other);
}

#[test]
fn headers_that_are_not_json_objects_close_the_connection() {
    for header in [
        "",
        " ",
        "[]",
        "1",
        "null",
        "{",
        "{\"code\":1",
        "{\"code\":1}}",
        "{\"code\":1} x",
        "{code:1}",
        "{\"code\":1,}",
        "{\"code\" 1}",
        "{\"a\":\"\\x\"}",
        "{\"extFields\":{\"a\":\"b\"}",
    ] {
        assert!(decode_json(header).is_err(), "{header}");
    }
    let not_utf8 = json_frame(b"{\"a\":\"\xff\"}");
    assert_eq!(Command::decode(&not_utf8), Err(DecodeError::NotUtf8 { valid_up_to: 6 }));
}

#[test]
fn depth_and_number_of_fields_are_bounded() {
    let deep = format!("{{\"a\":{}", "[".repeat(10_000));
    assert!(matches!(decode_json(&deep), Err(DecodeError::Json(_))));
    let fields = |count: usize| {
        let fields: Vec<String> = (0..count).map(|n| format!("\"k{n}\":\"\"")).collect();
        format!("{{\"extFields\":{{{}}}}}", fields.join(","))
    };
    assert_eq!(decode_json(&fields(1023)).unwrap().ext.len(), 1023);
    let error = decode_json(&fields(1_000_000)).unwrap_err();
    assert!(error.to_string().starts_with("too many fields"), "{error}");
}

#[test]
fn lengths_inside_a_binary_header_are_checked() {
    let fixed = hex!("0069 09 013d 00000001 00000000");
    let with = |rest: &[u8]| decode_binary(&[&fixed[..], rest].concat());
    assert!(with(&hex!("00000000 00000000")).is_ok());
    for (rest, part) in [
        (&hex!("ffffffff 00000000")[..], "remark"),
        (&hex!("00000005 00000000")[..], "remark"),
        (&hex!("7fffffff 00000000")[..], "remark"),
        (&hex!("00000000 ffffffff")[..], "fields"),
        (&hex!("00000000 00000001")[..], "fields"),
        (&hex!("00000000 00000000 00")[..], "header"),
        (&hex!("00000000 00000003 000161")[..], "field"),
        (&hex!("00000000 00000006 0000 00000000")[..], "field"),
        (&hex!("00000000 00000007 8000 61 00000000")[..], "field"),
        (&hex!("00000000 00000007 0009 61 00000000")[..], "field"),
        (&hex!("00000000 00000007 0001 61 ffffffff")[..], "field"),
        (&hex!("00000000 00000008 0001 61 00000002 62")[..], "field"),
        (&hex!("0000")[..], "remark"),
    ] {
        assert_eq!(with(rest), Err(DecodeError::Length { part }), "{rest:x?}");
    }
    for end in 0..fixed.len() {
        assert!(matches!(
            decode_binary(&fixed[..end]),
            Err(DecodeError::Length { .. } | DecodeError::Frame(_))
        ));
    }
    let many = [
        &hex!("00000000")[..],
        &(7 * 1025_u32).to_be_bytes(),
        &hex!("0001 61 00000000").repeat(1025),
    ]
    .concat();
    assert_eq!(with(&many), Err(DecodeError::TooManyFields { max: 1024 }));
}

#[test]
fn empty_values_of_the_binary_form_are_absent() {
    let command =
        decode_binary(&hex!("0069 09 013d 00000001 00000000 00000000 00000007 0001 61 00000000"));
    assert_eq!(command.unwrap().ext, []);
}

#[test]
fn truncated_codes_of_the_binary_form_are_widened() {
    let command = decode_binary(&hex!("0d72 00 01ed 00000001 00000000 00000000 00000000")).unwrap();
    assert_eq!(RequestCode(command.code), RequestCode::POP_MESSAGE);
}

#[test]
fn an_answer_that_is_too_long_becomes_an_error() {
    for form in [HeaderForm::Json, HeaderForm::Binary] {
        let answer = Response { form, code: ResponseCode::SUCCESS, opaque: 3, remark: None };
        let mut bytes = b"before".to_vec();
        answer.write(&mut bytes, |ext| ext.field("k", "v"), &vec![0; frame::MAX_FRAME]);
        let command = Command::decode(&bytes[6 + frame::LENGTH_FIELD..]).unwrap();
        assert_eq!(command.response_code(), ResponseCode::SYSTEM_ERROR);
        assert_eq!((command.opaque, command.ext.len(), command.body.len()), (3, 0, 0));
        assert!(command.remark.unwrap().contains("over the frame limit"));
    }
}

#[test]
fn an_answer_repeats_form_and_number_of_its_request() {
    let mut bytes = Vec::new();
    let request = Command { form: HeaderForm::Binary, code: 34, opaque: 9, ..Command::default() };
    request.encode_into(&mut bytes).unwrap();
    let request = Request::decode(&bytes[4..]).unwrap();
    let answer = request.answer(ResponseCode::SYSTEM_ERROR);
    let mut out = Vec::new();
    answer.remark("no").write(&mut out, |ext| ext.field("offset", 12_i64), b"body");
    let answer = Command::decode(&out[4..]).unwrap();
    assert_eq!(
        (answer.form, answer.opaque, answer.version),
        (HeaderForm::Binary, 9, version::OURS)
    );
    assert!(answer.is_response());
    assert_eq!(answer.remark.as_deref(), Some("no"));
    assert_eq!(answer.fields().get("offset").as_deref(), Some("12"));
    assert_eq!(answer.body, b"body");
}

prop_compose! {
    fn any_command()(
        binary: bool,
        code: i16,
        language in 0_u8..14,
        version: i16,
        opaque: i32,
        flag: i32,
        remark in proptest::option::of(".{1,20}"),
        ext in proptest::collection::vec((".{1,8}", ".{1,20}"), 0..8),
        body: Vec<u8>,
    ) -> Command {
        let form = if binary { HeaderForm::Binary } else { HeaderForm::Json };
        // These sixteen-bit numbers stand for others in binary headers.
        let code = if (3400..3600).contains(&code) { 0 } else { i32::from(code) };
        let (language, version) = (Language::from_number(language), i32::from(version));
        Command { form, code, language, version, opaque, flag, remark, ext, body }
    }
}

proptest! {
    #[test]
    fn a_command_survives_a_round_trip(command in any_command()) {
        let mut bytes = Vec::new();
        command.encode_into(&mut bytes).unwrap();
        prop_assert_eq!(frame::split(&bytes), Ok(Some(bytes.len())));
        prop_assert_eq!(Command::decode(&bytes[4..]), Ok(command));
    }

    #[test]
    fn any_frame_is_decoded_or_refused(form in 0_u8..3, header: Vec<u8>, body: Vec<u8>) {
        let mut frame = json_frame(&header);
        frame[0] = form;
        frame.extend_from_slice(&body);
        let _ = Command::decode(&frame);
    }

    #[test]
    fn a_changed_command_is_decoded_or_refused(command in any_command(), at: prop::sample::Index, byte: u8) {
        let mut bytes = Vec::new();
        command.encode_into(&mut bytes).unwrap();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = Command::decode(&bytes[4..]);
        let _ = Command::decode(&bytes[4..at.max(4)]);
    }

    #[test]
    fn header_text_is_decoded_or_refused(header in r#"[{}\[\]":,a-c0-9\\u ]{0,60}"#) {
        if let Err(DecodeError::Frame(error)) = decode_json(&header) {
            let header_is_empty = matches!(error, FrameError::HeaderLength { header: 0, .. });
            prop_assert!(header_is_empty);
        }
    }
}
