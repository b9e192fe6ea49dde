// Typesets what pymdownx.arithmatex marked: \(inline\) and \[display\].
document.querySelectorAll(".arithmatex").forEach((element) => {
  const source = element.textContent.trim();
  katex.render(source.slice(2, -2), element, { displayMode: source.startsWith("\\[") });
});
