// Names of streams, cut in the middle where there is no room for all of them: names that are alike differ at their
// ends as often as at their beginnings.

/** Characters at the end that are always shown. */
const END = 10;

/** A character as people see it. */
const characters = new Intl.Segmenter(undefined, { granularity: "grapheme" });

/** Shows the text in the element, both ends of it. */
export const showName = (element, text) => {
  let [start, end] = element.children;
  if (!end) {
    start = document.createElement("span");
    end = document.createElement("span");
    [start.className, end.className] = ["cut-start", "cut-end"];
    element.classList.add("cut");
    // A label may be of a script that is read from the right.
    element.dir = "auto";
    element.replaceChildren(start, end);
  }
  const all = Array.from(characters.segment(text), ({ segment }) => segment);
  const cut = all.length > END ? all.length - END : all.length;
  start.textContent = all.slice(0, cut).join("");
  end.textContent = all.slice(cut).join("");
};

/** The name of a stream in one line of text: the label, if it has one, and the id. */
export const called = ({ id, label }) => (label ? `${label} (${id})` : id);
