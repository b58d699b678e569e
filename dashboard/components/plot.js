// Draws a Plotly figure into an element that stays: Plotly.react with `uirevision` then keeps the reader's zoom.
// The library comes from this site (`/assets`), once per page.
let library
function plotly(source) {
  library ??= new Promise((resolve, reject) => {
    const script = document.createElement("script")
    script.src = source
    script.onload = () => resolve(window.Plotly)
    script.onerror = () => { library = undefined; reject(new Error("the chart library did not load")) }
    document.head.append(script)
  })
  return library
}

function mixed(ink, percent) {
  const probe = document.createElement("span")
  probe.style.color = `color-mix(in srgb, ${ink} ${percent}%, transparent)`
  document.body.append(probe)
  const color = getComputedStyle(probe).color
  probe.remove()
  return color
}

function themed(layout, ink, paper) {
  const grid = mixed(ink, 16)
  const axis = (given) => ({ gridcolor: grid, zerolinecolor: grid, linecolor: grid, automargin: true, ...given })
  return {
    ...layout,
    font: { color: ink, family: '"Source Sans", sans-serif', size: 13 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    // Plotly would take grey upon grey, as it knows no colour of a paper that is transparent
    modebar: { bgcolor: paper, color: mixed(ink, 60), activecolor: ink },
    xaxis: axis(layout.xaxis),
    yaxis: axis(layout.yaxis),
    autosize: true,
  }
}

// By itself Plotly offers to upload each chart ("Share chart..."): what is drawn here stays here. The buttons that are removed
// serve to select points, which no page asks for; each would be a stop of the Tab key.
const BAR = {
  displaylogo: false,
  responsive: true,
  showSendToCloud: false,
  modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d"],
}

export default function ({ parentElement, data }) {
  const target = parentElement.querySelector(".plot")
  target.setAttribute("role", "img")
  target.setAttribute("aria-label", data.alt)
  target.style.height = `${data.height}px`
  const figure = JSON.parse(data.figure)
  const { color: ink, backgroundColor: paper } = getComputedStyle(document.querySelector(".stApp") ?? document.body)
  plotly(data.library)
    .then((Plotly) => Plotly.react(target, figure.data, themed(figure.layout, ink, paper), BAR))
    .catch((error) => { target.textContent = `The chart cannot be drawn: ${error.message}.` })
}
