use super::*;

fn caps(text: &str) -> gst::Caps {
    gst::init().unwrap();
    text.parse().unwrap()
}

/// What one size field becomes.
fn width_of(text: &str, way: Way, factor: i32) -> Option<String> {
    let structure: gst::Structure = format!("s, width={text}").parse().unwrap();
    scale_value(structure.value("width").unwrap(), way, factor).map(|value| value.serialize().unwrap().to_string())
}

#[track_caller]
fn check(text: &str, way: Way, factor: i32, expected: Option<&str>) {
    gst::init().unwrap();
    assert_eq!(width_of(text, way, factor).as_deref(), expected, "{text} {way:?} by {factor}");
}

#[test]
fn ints_scale_and_only_what_divides_goes_down() {
    check("320", Way::Up, 2, Some("640"));
    check("641", Way::Down, 2, None);
    check("642", Way::Down, 2, Some("321"));
    check("642", Way::Down, 4, None);
    check("1", Way::Down, 2, None);
    check("0", Way::Down, 2, None);
}

#[test]
fn products_saturate_at_the_largest_int() {
    check("2147483647", Way::Up, 2, Some("2147483647"));
    check("1073741824", Way::Up, 2, Some("2147483647"));
    check("[ 1, 2147483647 ]", Way::Up, 2, Some("[ 2, 2147483646, 2 ]"));
    check("[ 1, 2147483647 ]", Way::Up, 3, Some("[ 3, 2147483646, 3 ]"));
    check("[ 16, 2147483632, 16 ]", Way::Up, 4, Some("[ 64, 2147483584, 64 ]"));
    check("[ 1, 2147483647 ]", Way::Down, 2, Some("[ 1, 1073741823 ]"));
}

#[test]
fn ranges_scale_with_their_steps() {
    check("[ 1, 100 ]", Way::Up, 3, Some("[ 3, 300, 3 ]"));
    check("[ 16, 96, 16 ]", Way::Up, 2, Some("[ 32, 192, 32 ]"));
    check("[ 1, 101 ]", Way::Down, 2, Some("[ 1, 50 ]"));
    check("[ 3, 101 ]", Way::Down, 4, Some("[ 1, 25 ]"));
    check("[ 5, 7 ]", Way::Down, 3, Some("2"));
    check("[ 5, 7 ]", Way::Down, 4, None);
    // Multiples of 16 that 3 divides are multiples of 48.
    check("[ 16, 160, 16 ]", Way::Down, 3, Some("[ 16, 48, 16 ]"));
    check("[ 16, 160, 16 ]", Way::Down, 2, Some("[ 8, 80, 8 ]"));
}

#[test]
fn lists_scale_member_by_member() {
    check("{ 320, 641, 1280 }", Way::Down, 2, Some("{ (int)160, (int)640 }"));
    check("{ 641, 1280 }", Way::Down, 2, Some("640"));
    check("{ 641, 643 }", Way::Down, 2, None);
    check("{ 10, [ 20, 30 ] }", Way::Up, 2, Some("{ (int)20, (GstIntRange)[ 40, 60, 2 ] }"));
    check("(string)large", Way::Up, 2, None);
    check("(double)3.5", Way::Up, 2, None);
}

#[test]
fn only_width_and_height_of_fixed_caps_change() {
    let input = caps(
        "video/x-raw, format=I420_10LE, width=320, height=180, framerate=30000/1001, pixel-aspect-ratio=64/45, \
         interlace-mode=progressive, colorimetry=bt2100-hlg, chroma-site=v-cosited, multiview-mode=mono, \
         mastering-display-info=(string)34000:16000:13250:34500:7500:3000:15635:16450:10000000:1, \
         content-light-level=(string)1000:400, views=1, x-unheard-of=(int)7",
    );
    let output = transform(&input, Way::Up, 3, None);
    let mut expected = input.clone();
    expected.make_mut().set("width", 960);
    expected.make_mut().set("height", 540);
    assert_eq!(output, expected);
    assert_eq!(transform(&output, Way::Down, 3, None), input);
}

#[test]
fn caps_without_interlace_mode_stay_without() {
    let input = caps("video/x-raw, format=NV12, width=64, height=64, framerate=25/1");
    let output = transform(&input, Way::Up, 2, None);
    assert_eq!(output, caps("video/x-raw, format=NV12, width=128, height=128, framerate=25/1"));
    assert!(!transform(&output, Way::Down, 2, None).is_empty());
}

#[test]
fn interlaced_video_other_memory_and_other_formats_are_refused() {
    for text in [
        "video/x-raw, format=I420, width=64, height=64, interlace-mode=interleaved",
        "video/x-raw, format=I420, width=64, height=64, interlace-mode=mixed",
        "video/x-raw, format=YUY2, width=64, height=64",
        "video/x-raw(memory:CUDAMemory), format=I420, width=64, height=64",
        "video/x-raw(memory:GLMemory), format=RGBA, width=64, height=64",
        "image/png, width=64, height=64",
        "audio/x-raw",
    ] {
        assert!(transform(&caps(text), Way::Up, 2, None).is_empty(), "{text}");
    }
}

#[test]
fn views_in_pictures_of_their_own_are_refused() {
    let views = |mode: &str| {
        let input = caps(&format!("video/x-raw, format=I420, width=64, height=64, multiview-mode={mode}, views=2"));
        let output = transform(&input, Way::Up, 2, None);
        output.structure(0).map(|structure| structure.get::<String>("multiview-mode").unwrap())
    };
    assert_eq!(views("separated"), None);
    assert_eq!(views("side-by-side").as_deref(), Some("side-by-side"));
    assert_eq!(views("{separated,left}").as_deref(), Some("left"));
}

#[test]
fn any_stands_for_the_template_and_nothing_for_nothing() {
    gst::init().unwrap();
    let up = transform(&gst::Caps::new_any(), Way::Up, 2, None);
    assert!(!up.is_empty() && up.is_subset(&src_template()), "{up}");
    let down = transform(&gst::Caps::new_any(), Way::Down, 4, None);
    assert!(!down.is_empty() && down.is_subset(&sink_template()), "{down}");
    assert!(transform(&gst::Caps::new_empty(), Way::Up, 2, None).is_empty());
    // Memory of any kind includes the system's.
    let any_memory = transform(&caps("video/x-raw(ANY)"), Way::Down, 2, None);
    assert!(any_memory.can_intersect(&sink_template()), "{any_memory}");
}

#[test]
fn outputs_stay_within_16384() {
    for (factor, largest) in [(2, 8192), (3, 5461), (4, 4096)] {
        let sized = |n: i32| caps(&format!("video/x-raw, format=GRAY8, width={n}, height={n}, framerate=1/1"));
        assert!(!transform(&sized(largest), Way::Up, factor, None).is_empty());
        assert!(transform(&sized(largest + 1), Way::Up, factor, None).is_empty());
        let down = transform(&caps("video/x-raw"), Way::Down, factor, None);
        assert!(down.can_intersect(&sized(largest)) && !down.can_intersect(&sized(largest + 1)), "{down}");
    }
}

#[test]
fn the_filter_cuts_and_gives_the_order() {
    let known = caps("video/x-raw, format={ I420, NV12 }, width=64, height=64, framerate=25/1");
    let filter = caps(
        "video/x-raw, format=NV12, width=[ 1, 4000 ], height=[ 1, 4000 ]; \
         video/x-raw, format=I420, width=[ 1, 4000 ], height=[ 1, 4000 ]; video/x-raw, format=RGB",
    );
    let result = transform(&known, Way::Up, 2, Some(&filter));
    let formats: Vec<_> = result.iter().map(|s| s.get::<String>("format").unwrap()).collect();
    assert_eq!(formats, ["NV12", "I420"]);
    assert_eq!(result.structure(0).unwrap().get::<i32>("width"), Ok(128));
    assert!(transform(&known, Way::Up, 2, Some(&caps("video/x-raw, width=127"))).is_empty());
    assert!(transform(&known, Way::Up, 2, Some(&gst::Caps::new_empty())).is_empty());
    assert_eq!(transform(&known, Way::Up, 2, Some(&gst::Caps::new_any())), transform(&known, Way::Up, 2, None));
}

#[test]
fn several_structures_keep_their_order() {
    let known = caps(
        "video/x-raw, format=RGB, width=640, height=480; video/x-raw, format=I420, width=641, height=480; \
         video/x-raw, format=I420, width={ 640, 1280 }, height=480",
    );
    let result = transform(&known, Way::Down, 2, None);
    let formats: Vec<_> = result.iter().map(|s| s.get::<String>("format").unwrap()).collect();
    assert_eq!(formats, ["RGB", "I420"], "{result}");
}

/// 576 lines is the border between BT.601 and BT.709 for caps that name no colorimetry.
#[test]
fn colours_that_caps_imply_are_written_down_where_the_size_would_change_them() {
    let up = |text: &str, factor| transform(&caps(text), Way::Up, factor, None).structure(0).unwrap().to_owned();
    let pal = up("video/x-raw, format=I420, width=640, height=360, framerate=25/1", 2);
    assert_eq!(pal.get::<String>("colorimetry").as_deref(), Ok("bt601"));
    let small = up("video/x-raw, format=I420, width=64, height=64, framerate=25/1", 2);
    assert!(!small.has_field("colorimetry") && !small.has_field("chroma-site"));
    let named = up("video/x-raw, format=I420, width=640, height=360, framerate=25/1, colorimetry=bt709", 2);
    assert_eq!(named.get::<String>("colorimetry").as_deref(), Ok("bt709"));
    // Unknown stays unknown.
    let unknown = up("video/x-raw, format=I420, width=640, height=360, framerate=25/1, colorimetry=\"0:0:0:0\"", 2);
    assert_eq!(unknown.get::<String>("colorimetry").as_deref(), Ok("0:0:0:0"));
    let rgb = up("video/x-raw, format=RGB, width=640, height=360, framerate=25/1", 2);
    assert!(!rgb.has_field("colorimetry"));
}

#[test]
fn what_is_left_open_becomes_square_pixels_at_an_unknown_rate() {
    let open = caps(
        "video/x-raw, format=I420, width=64, height=64, pixel-aspect-ratio=[ 1/2147483647, 2147483647/1 ], \
         framerate=[ 0/1, 2147483647/1 ]",
    );
    let fixed = fixate(open, &caps("video/x-raw, format=I420, width=32, height=32"));
    assert_eq!(fixed, caps("video/x-raw, format=I420, width=64, height=64, pixel-aspect-ratio=1/1, framerate=0/1"));
}

#[test]
fn what_the_input_says_by_saying_nothing_is_what_it_meant() {
    let fixed = |input: &str, open: &str| {
        let input = caps(&format!("video/x-raw, width=320, height=240, {input}"));
        let fixed = fixate(caps(open), &input);
        let fields = ["colorimetry", "chroma-site", "interlace-mode"];
        fields.map(|field| fixed.structure(0).unwrap().get::<String>(field).unwrap_or_default())
    };
    let open =
        "video/x-raw, colorimetry={bt709,bt601}, chroma-site={mpeg2,jpeg}, interlace-mode={interleaved,progressive}";
    assert_eq!(fixed("format=I420", open), ["bt601", "jpeg", "progressive"]);
    let mixed = open.replace("{mpeg2,jpeg}", "{jpeg,mpeg2}");
    assert_eq!(fixed("format=I420, colorimetry=bt709", &mixed)[1..], ["mpeg2", "progressive"]);
    // Only one of the peer's structures can have what was meant, or none.
    assert_eq!(fixed("format=I420", &format!("video/x-raw, interlace-mode=interleaved; {open}"))[2], "progressive");
    assert_eq!(fixed("format=I420", "video/x-raw, colorimetry=bt709; video/x-raw, colorimetry=bt2020")[0], "bt709");
    assert_eq!(fixed("format=RGB", "video/x-raw, colorimetry={bt709,sRGB}"), ["sRGB", "", ""]);
}

#[test]
fn factors_are_whole_and_the_same_along_both_axes() {
    assert_eq!(factor_between((33, 17), (66, 34)), Some(2));
    assert_eq!(factor_between((33, 17), (66, 51)), None);
    assert_eq!(factor_between((33, 17), (67, 34)), None);
    assert_eq!(factor_between((33, 17), (0, 0)), None);
    assert_eq!(factor_between((0, 0), (0, 0)), None);
    assert_eq!(factor_between((u32::MAX, 1), (u32::MAX, 1)), Some(1));
}
