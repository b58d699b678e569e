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

function themed(layout, ink) {
  const line = `color-mix(in srgb, ${ink} 16%, transparent)`
  const probe = document.createElement("span")
  probe.style.color = line
  document.body.append(probe)
  const grid = getComputedStyle(probe).color
  probe.remove()
  const axis = (given) => ({ gridcolor: grid, zerolinecolor: grid, linecolor: grid, automargin: true, ...given })
  return {
    ...layout,
    font: { color: ink, family: '"Source Sans", sans-serif', size: 13 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
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
  const ink = getComputedStyle(document.querySelector(".stApp") ?? document.body).color
  plotly(data.library)
    .then((Plotly) => Plotly.react(target, figure.data, themed(figure.layout, ink), BAR))
    .catch((error) => { target.textContent = `The chart cannot be drawn: ${error.message}.` })
}
