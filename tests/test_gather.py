"""gather: every row of every known format is read, and what cannot be read says where and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from factory.artifacts import Rejected, Row, Rows
from factory.errors import ConfigErrors, UsageError
from factory.spec import Seed
from factory.stages.gather import STAGE, data_file
from factory.store import Store

PAIR = {"instruction": "Why is the sky blue?", "output": "Air scatters blue light most."}


def quiet(**_: Any) -> None:
    """Progress that nobody watches."""


def gather(folder: Path, *names: str, seeds: tuple[Seed, ...] = ()) -> Rows:
    files = [data_file(name, folder) for name in names]
    inputs = {"name": "concise", "seeds": seeds, "files": files}
    store = Store(folder / "out")
    return store.make(STAGE, store.key(STAGE, None, inputs), None, inputs, quiet)


def read(folder: Path, content: str | bytes, name: str = "d.jsonl") -> list[Row]:
    write(folder, content, name)
    return list(gather(folder, name).rows())


def refused(folder: Path, content: str | bytes, name: str = "d.jsonl") -> list[Rejected]:
    """Rejections among one good row, which keeps the file usable."""
    return list(gather(folder, write(folder, content, name)).rejected())


def write(folder: Path, content: str | bytes, name: str) -> str:
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return name


def lines(*values: Any) -> str:
    return "".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values)


def said(row: Row) -> list[tuple[str, str]]:
    return [(message["role"], message["content"]) for message in row["messages"]]


# --- formats -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (PAIR, [("user", PAIR["instruction"]), ("assistant", PAIR["output"])]),
        (
            {"instruction": "Sum up:", "input": "A long text.", "output": "Short."},
            [("user", "Sum up:\n\nA long text."), ("assistant", "Short.")],
        ),
        (
            {"instruction": "And now?", "output": "Rest.", "system": "Be kind.", "input": None,
             "history": [["Hi", "Hello."], ["Tired", "Sit down."]]},
            [("system", "Be kind."), ("user", "Hi"), ("assistant", "Hello."), ("user", "Tired"),
             ("assistant", "Sit down."), ("user", "And now?"), ("assistant", "Rest.")],
        ),
        (
            {"conversations": [{"from": "system", "value": "S"}, {"from": "human", "value": "Q"},
                               {"from": "gpt", "value": "A"}]},
            [("system", "S"), ("user", "Q"), ("assistant", "A")],
        ),
        (
            {"messages": [{"role": "user", "content": "Q1"}, {"role": "assistant", "content": "A1"},
                          {"role": "user", "content": [{"type": "text", "text": "Q2"}]},
                          {"role": "assistant", "content": "A2"}]},
            [("user", "Q1"), ("assistant", "A1"), ("user", "Q2"), ("assistant", "A2")],
        ),
    ],
    ids=["pair", "input", "system and history", "sharegpt", "openai"],
)  # fmt: skip
def test_every_format_becomes_one_conversation(
    tmp_path: Path, value: dict[str, Any], expected: list[tuple[str, str]]
) -> None:
    (row,) = read(tmp_path, lines(value))
    assert said(row) == expected


def test_formats_may_be_mixed_in_one_file(tmp_path: Path) -> None:
    chat = {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}
    share = {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]}
    rows = read(tmp_path, json.dumps([PAIR, chat, share], indent=1), "d.json")
    assert [len(row["messages"]) for row in rows] == [2, 2, 2]


def test_csv_reads_quoted_commas_line_breaks_and_optional_columns(tmp_path: Path) -> None:
    text = (
        "instruction,output,input,history\n"
        '"Red, or blue?","Blue.\nAlways.",,\n'
        'Sum up,Short.,"A ""long"" text","[[""Hi"", ""Hello.""]]"\n'
    )
    rows = read(tmp_path, text, "d.csv")
    assert [row["id"] for row in rows] == ["d.csv:2", "d.csv:4"]
    assert said(rows[0]) == [("user", "Red, or blue?"), ("assistant", "Blue.\nAlways.")]
    assert said(rows[1])[0] == ("user", "Hi")
    assert said(rows[1])[2] == ("user", 'Sum up\n\nA "long" text')


@pytest.mark.parametrize("mark", [";", "\t"])
def test_csv_of_a_german_excel_or_with_tabs_is_read(tmp_path: Path, mark: str) -> None:
    text = f"\ufeffInstruction{mark}Output\nRed?{mark}No, blue.\n"
    (row,) = read(tmp_path, text, "d.csv")
    assert said(row) == [("user", "Red?"), ("assistant", "No, blue.")]


def test_content_decides_the_format_not_the_name(tmp_path: Path) -> None:
    assert len(read(tmp_path, json.dumps([PAIR, PAIR]), "list.jsonl")) == 2
    assert len(read(tmp_path, lines(PAIR, PAIR), "lines.json")) == 2
    assert len(read(tmp_path, json.dumps(PAIR, indent=2), "single.json")) == 1


def test_seeds_come_first_and_are_numbered(tmp_path: Path) -> None:
    write(tmp_path, lines(PAIR), "d.jsonl")
    seeds = (
        Seed(instruction="Hi", output="Hello."),
        Seed(instruction="Sum up", input="Text", output="Short.", history=(("A", "B"),)),
    )
    rows = list(gather(tmp_path, "d.jsonl", seeds=seeds).rows())
    assert [row["id"] for row in rows] == ["concise:seed 1", "concise:seed 2", "d.jsonl:1"]
    assert said(rows[1])[:3] == [("user", "A"), ("assistant", "B"), ("user", "Sum up\n\nText")]


# --- places ------------------------------------------------------------------------------------


def test_line_numbers_of_a_json_list_are_where_each_element_begins(tmp_path: Path) -> None:
    text = '[\n  {"instruction": "a",\n   "output": "b"},\n\n'
    text += '  {"instruction": "c", "output": "d"}\n]\n'
    assert [row["id"] for row in read(tmp_path, text, "d.json")] == ["d.json:2", "d.json:5"]


def test_rows_on_one_line_have_ids_of_their_own(tmp_path: Path) -> None:
    rows = read(tmp_path, json.dumps([PAIR, PAIR, PAIR]), "d.json")
    assert [row["id"] for row in rows] == ["d.json:1", "d.json:1#2", "d.json:1#3"]


def test_blank_lines_count_for_line_numbers_and_are_no_rows(tmp_path: Path) -> None:
    rows = read(tmp_path, "\n" + lines(PAIR) + "\r\n\n" + lines(PAIR))
    assert [row["id"] for row in rows] == ["d.jsonl:2", "d.jsonl:5"]


# --- rows that cannot be read ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "reason", "parts"),
    [
        ({"instuction": "Q", "output": "A"}, "missing_field", ["instruction", "'instuction'"]),
        ({"question": "Q", "answer": "A"}, "missing_field", ["did you mean 'question'"]),
        ({"instruction": "Q", "Output": "A"}, "missing_field", ["output", "'Output'"]),
        ({"instruction": "Q"}, "missing_field", ["`output` is missing", "found: instruction"]),
        ({"instruction": "Q", "output": 42}, "wrong_type", ["output", "a number: 42"]),
        ({"instruction": None, "output": "A"}, "wrong_type", ["instruction", "null"]),
        ({**PAIR, "histroy": []}, "unknown_field", ["histroy", "history"]),
        ({**PAIR, "history": ["Hi"]}, "wrong_type", ["history", "pairs"]),
        ({"messages": "hello"}, "wrong_type", ["messages", '"hello"']),
        ({"messages": []}, "missing_field", ["messages"]),
        ({"messages": [{"role": "usr", "content": "Q"}]}, "unknown_role", ["usr", "'user'"]),
        ({"messages": [{"rol": "user", "content": "Q"}]}, "missing_field", ["role", "'rol'"]),
        ({"conversations": [{"from": "tool", "value": "x"}]}, "unknown_role", ["human, gpt"]),
        ({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}, "wrong_type", []),
        (["Q", "A"], "not_a_row", ["a list"]),
        ("Q", "not_a_row", ['"Q"']),
    ],
)
def test_a_wrong_row_is_rejected_and_says_what_to_mend(
    tmp_path: Path, value: Any, reason: str, parts: list[str]
) -> None:
    (bad,) = refused(tmp_path, lines(PAIR, value))
    assert (bad["id"], bad["reason"]) == ("d.jsonl:2", reason)
    assert all(part in bad["detail"] for part in parts), bad["detail"]
    assert bad["text"].startswith(json.dumps(value)[:10])


def test_a_broken_line_of_json_lines_costs_that_line_only(tmp_path: Path) -> None:
    write(tmp_path, lines(PAIR) + '{"instruction": "Q", "out\n' + lines(PAIR), "d.jsonl")
    found = gather(tmp_path, "d.jsonl")
    assert [row["id"] for row in found.rows()] == ["d.jsonl:1", "d.jsonl:3"]
    (bad,) = found.rejected()
    assert bad["reason"] == "broken_json" and "column" in bad["detail"]
    assert found.manifest.stats["rows"] == 2 and found.manifest.stats["rejected"] == 1


def test_half_a_surrogate_pair_is_rejected_not_a_crash(tmp_path: Path) -> None:
    text = lines(PAIR) + '{"instruction": "Q \\ud83d", "output": "A"}\n{"bad \\ud83d": 1}\n'
    first, second = refused(tmp_path, text)
    assert (first["reason"], second["reason"]) == ("broken_encoding", "missing_field")


def test_a_csv_row_with_an_unquoted_comma_is_rejected(tmp_path: Path) -> None:
    (bad,) = refused(tmp_path, "instruction,output\nQ,A\nRed, or blue?,Blue.\n", "d.csv")
    assert (bad["id"], bad["reason"]) == ("d.csv:3", "wrong_columns")


def test_fields_that_are_not_looked_at_are_counted(tmp_path: Path) -> None:
    write(tmp_path, lines({**PAIR, "source": "web"}, {**PAIR, "source": "me", "id": 7}), "d.jsonl")
    facts = gather(tmp_path, "d.jsonl").manifest.stats["files"]["d.jsonl"]
    assert facts["ignored_fields"] == {"source": 2, "id": 1}


# --- encodings ---------------------------------------------------------------------------------


@pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "gb18030"])
def test_chinese_survives_every_common_encoding(tmp_path: Path, codec: str) -> None:
    value = {
        "instruction": "为什么天是蓝色的？",
        "output": "空气把蓝光散射得最厉害，所以满天都是蓝的。",
    }
    (row,) = read(tmp_path, lines(value).encode(codec))
    assert said(row) == [("user", value["instruction"]), ("assistant", value["output"])]
    assert row.get("repairs", []) == (["encoding_gb18030"] if codec == "gb18030" else [])


def test_a_csv_in_gb18030_is_read(tmp_path: Path) -> None:
    text = "instruction,output\n今天星期几？,看一眼手机，它比我可靠。\n".replace("，它", "它")
    (row,) = read(tmp_path, text.encode("gb18030"), "d.csv")
    assert said(row)[0] == ("user", "今天星期几？")


def test_windows_1252_is_refused_with_the_offset_of_the_bad_byte(tmp_path: Path) -> None:
    text = lines({"instruction": "Un café à la crème ?", "output": "Déjà bu, très bon."})
    name = write(tmp_path, text.encode("cp1252"), "d.jsonl")
    with pytest.raises(UsageError) as caught:
        gather(tmp_path, name)
    assert f"byte offset {text.index('é')}" in str(caught.value) and "E9" in str(caught.value)


def test_a_bad_byte_far_into_the_file_has_the_right_offset(tmp_path: Path) -> None:
    good = (lines({"instruction": "字" * 50, "output": "好"}) * 12_000).encode()
    assert len(good) > 2 * 2**20
    with pytest.raises(UsageError, match=f"byte offset {len(good)} "):
        gather(tmp_path, write(tmp_path, good + b"\xff\xfe\n", "d.jsonl"))


def test_a_file_cut_inside_a_character_says_so(tmp_path: Path) -> None:
    data = lines(PAIR, {"instruction": "Q", "output": "好"}).encode()
    with pytest.raises(UsageError, match="ends in the middle of a character"):
        gather(tmp_path, write(tmp_path, data[: data.rindex("好".encode()) + 2], "d.jsonl"))


# --- files that cannot be data -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content", "what"),
    [
        ("empty.jsonl", b"", "is empty"),
        ("zip.csv", b"PK\x03\x04" + b"x" * 100, "not text"),
        ("bytes.jsonl", b'{"instruction": "\x00\x01\x02"}', "not text"),
        ("nobom.jsonl", lines(PAIR).encode("utf-16-le"), "UTF-16 without"),
    ],
)
def test_a_file_that_is_no_data_is_refused_when_it_is_named(
    tmp_path: Path, name: str, content: bytes, what: str
) -> None:
    write(tmp_path, content, name)
    with pytest.raises(UsageError, match=what) as caught:
        data_file(name, tmp_path)
    assert caught.value.where == f"data: {name}" and caught.value.exit_code == 2


def test_a_missing_file_names_the_nearest_one(tmp_path: Path) -> None:
    write(tmp_path, lines(PAIR), "concise.jsonl")
    with pytest.raises(UsageError, match=r"did you mean concise\.jsonl"):
        data_file("consise.jsonl", tmp_path)


def test_a_folder_instead_of_a_file_names_a_file_in_it(tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    write(tmp_path / "rows", lines(PAIR), "a.jsonl")
    with pytest.raises(UsageError, match=r"folder.*\n.*\n.*\n.*rows/a\.jsonl"):
        data_file("rows", tmp_path)


def test_a_200_mb_file_is_refused_without_reading_it(tmp_path: Path) -> None:
    with (tmp_path / "big.jsonl").open("wb") as file:
        file.truncate(200 * 2**20)
    with pytest.raises(UsageError, match="too large") as caught:
        data_file("big.jsonl", tmp_path)
    assert (caught.value.got, caught.value.allowed) == ("200 MB", "100 MB")


def test_a_name_no_file_can_have_is_an_error_for_people(tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        data_file("x" * 5000, tmp_path)


def test_the_digest_follows_the_content(tmp_path: Path) -> None:
    write(tmp_path, lines(PAIR), "d.jsonl")
    before = data_file("d.jsonl", tmp_path).digest
    write(tmp_path, lines(PAIR, PAIR), "d.jsonl")
    assert data_file("d.jsonl", tmp_path).digest != before


@pytest.mark.parametrize(
    ("name", "content", "where", "what"),
    [
        ("a.json", '[\n{"instruction": "Q", "output": "A"},\n{"instruction": "Q", "ou',
         "a.json:3:22", "cut off"),
        ("b.json", '[\n{"instruction": "Q", "output": "A"}\n', "b.json:3:1", "cut off"),
        ("c.json", '[{"instruction": "Q" "output": "A"}]', "c.json:1:22", "broken"),
        ("d.json", '[{"instruction": "Q", "output": "A"}] x', "d.json:1:39", "broken"),
        ("e.csv", "question,answer\nQ,A\n", "e.csv:1", "no column 'instruction'"),
        ("f.csv", 'instruction,output\nQ,A\n"Q,A\nQ,A\n', "f.csv:3", "broken from here"),
        ("g.txt", "hello\n", "g.txt:1", "not in a format"),
        ("h.jsonl", "  \n\n", "h.jsonl", "nothing in it"),
        ("i.json", "[]", "data: i.json", "no rows"),
        ("j.jsonl", '{"q": 1}\n{"q": 2}\n', "data: j.jsonl", "not one of its 2 rows"),
    ],
)  # fmt: skip
def test_a_file_that_is_broken_as_a_whole_says_where(
    tmp_path: Path, name: str, content: str, where: str, what: str
) -> None:
    with pytest.raises(UsageError, match=what) as caught:
        gather(tmp_path, write(tmp_path, content, name))
    assert caught.value.where == where


def test_every_broken_file_is_named_at_once(tmp_path: Path) -> None:
    write(tmp_path, "[{", "a.json")
    write(tmp_path, lines(PAIR), "b.jsonl")
    write(tmp_path, "question,answer\nQ,A\n", "c.csv")
    write(tmp_path, '{"q": 1}\n', "d.jsonl")
    with pytest.raises(ConfigErrors) as caught:
        gather(tmp_path, "a.json", "b.jsonl", "c.csv", "d.jsonl")
    assert [problem.where for problem in caught.value.problems] == [
        "a.json:1:3", "c.csv:1", "data: d.jsonl",
    ]  # fmt: skip
    assert "3 problems found" in str(caught.value)


def test_a_file_that_changes_after_it_was_found_is_not_kept_under_its_old_name(
    tmp_path: Path,
) -> None:
    write(tmp_path, lines(PAIR), "d.jsonl")
    inputs = {"name": "concise", "seeds": (), "files": [data_file("d.jsonl", tmp_path)]}
    store = Store(tmp_path / "out")
    key = store.key(STAGE, None, inputs)
    write(tmp_path, lines(PAIR, PAIR), "d.jsonl")
    with pytest.raises(UsageError, match="changed during the build") as caught:
        store.make(STAGE, key, None, inputs, quiet)
    assert caught.value.where == "data: d.jsonl" and store.find(STAGE, key) is None
    (tmp_path / "d.jsonl").unlink()
    with pytest.raises(UsageError, match="changed during the build"):
        store.make(STAGE, key, None, inputs, quiet)
    write(tmp_path, lines(PAIR), "d.jsonl")
    assert len(list(store.make(STAGE, key, None, inputs, quiet).rows())) == 1


def test_a_file_of_a_user_who_does_not_exist_is_missing(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such data file"):
        data_file("~nosuchuser/x.jsonl", tmp_path)


def test_a_file_listed_twice_is_refused(tmp_path: Path) -> None:
    write(tmp_path, lines(PAIR), "d.jsonl")
    with pytest.raises(UsageError, match="listed twice"):
        gather(tmp_path, "d.jsonl", "./d.jsonl")


def test_damaged_utf8_is_not_taken_for_gb18030(tmp_path: Path) -> None:
    good = lines({"instruction": "今天好吗？", "output": "好。"}).encode()
    with pytest.raises(UsageError, match=f"byte offset {len(good) + 17} "):
        gather(
            tmp_path,
            write(
                tmp_path, good + lines(PAIR).encode()[:17] + "好".encode("gbk") + b'"}\n', "d.jsonl"
            ),
        )
