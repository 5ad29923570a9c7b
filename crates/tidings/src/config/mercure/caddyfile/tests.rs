//! Lines, blocks, quotations and what is wrong with them.

use super::*;

#[test]
fn words_lines_and_blocks_are_told_apart() {
    let text = "# a comment\nexample.com, www.example.com {\n\tencode zstd # another\n\tmercure {\n\
        \t\tpublisher_jwt \"a \\\"b\\\" # c\" `HS 256`\n\t\tcors_origins a \\\n\t\t  b\n\t}\n}\nlast\n";
    let lines = read(text).unwrap();
    assert_eq!(lines.len(), 2);
    assert_eq!(lines[0].words, ["example.com,", "www.example.com"]);
    let hub = &lines[0].block[1];
    assert_eq!(hub.words, ["mercure"]);
    assert_eq!(hub.number, 4);
    assert_eq!(
        hub.block[0].words,
        ["publisher_jwt", "a \"b\" # c", "HS 256"]
    );
    assert_eq!(hub.block[1].words, ["cors_origins", "a", "b"]);
    assert_eq!(lines[1].words, ["last"]);
}

#[test]
fn a_block_without_a_head_is_the_global_one() {
    let lines = read("{\n debug\n}\n:80 {\n}\n").unwrap();
    assert!(lines[0].words.is_empty());
    assert_eq!(lines[0].block[0].words, ["debug"]);
    assert_eq!(lines[1].words, [":80"]);
}

#[test]
fn variables_are_replaced_before_anything_else() {
    let lines = read("{$KNOWN} {$UNKNOWN:a b} {$UNKNOWN} {env.KNOWN} {$open").unwrap();
    assert_eq!(lines[0].words, ["value", "a", "b", "{env.KNOWN}", "{$open"]);
}

#[test]
fn what_has_no_end_is_refused_where_it_begins() {
    for (text, expected) in [
        ("a\n\"b", CaddyfileError::Quotation { line: 2 }),
        ("a {\nb", CaddyfileError::Unclosed { line: 1 }),
        ("a\n}", CaddyfileError::Unopened { line: 2 }),
        ("respond <<END\nx\nEND", CaddyfileError::Heredoc { line: 1 }),
    ] {
        assert_eq!(read(text), Err(expected), "{text:?}");
    }
    let deep = "a {\n".repeat(40);
    assert!(matches!(read(&deep), Err(CaddyfileError::TooDeep { .. })));
    let long = "a".repeat(BYTES_MAX + 1);
    assert_eq!(
        read(&long),
        Err(CaddyfileError::TooLong {
            bytes: BYTES_MAX + 1
        })
    );
}

#[test]
fn no_cut_of_a_file_breaks_the_reader() {
    let text = "a {\n b \"c {$D:e} \\\n\" `f` {g.h}\n}\n";
    for cut in 0..=text.len() {
        let (before, after) = text.split_at(cut);
        drop((read(before), read(after)));
    }
}

fn read(text: &str) -> Result<Vec<Line>, CaddyfileError> {
    parse(text, &|name| (name == "KNOWN").then(|| "value".to_owned()))
}
