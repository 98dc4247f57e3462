// A blackboard to draw a digit on. After each stroke the drawing goes to Python, small.

const SIDE = 280;
const SENT = 112;

export default function (component) {
  const { data, parentElement, setTriggerValue } = component;
  if (parentElement.querySelector('canvas')) return;

  const board = document.createElement('div');
  board.className = 'ee-board';
  const canvas = document.createElement('canvas');
  canvas.width = canvas.height = SIDE;
  canvas.setAttribute('aria-label', data.label);
  canvas.setAttribute('role', 'img');
  const clear = document.createElement('button');
  clear.type = 'button';
  clear.textContent = data.clear;
  board.append(canvas, clear);
  parentElement.appendChild(board);

  const pen = canvas.getContext('2d');
  const wipe = () => {
    pen.fillStyle = '#000';
    pen.fillRect(0, 0, SIDE, SIDE);
  };
  wipe();
  Object.assign(pen, { strokeStyle: '#fff', lineWidth: 22, lineCap: 'round', lineJoin: 'round' });

  const place = (event) => {
    const { left, top, width } = canvas.getBoundingClientRect();
    return [((event.clientX - left) * SIDE) / width, ((event.clientY - top) * SIDE) / width];
  };
  const send = () => {
    const small = document.createElement('canvas');
    small.width = small.height = SENT;
    small.getContext('2d').drawImage(canvas, 0, 0, SENT, SENT);
    setTriggerValue('drawn', small.toDataURL('image/png'));
  };
  let drawing = false;
  canvas.onpointerdown = (event) => {
    event.preventDefault();
    canvas.setPointerCapture(event.pointerId);
    drawing = true;
    pen.beginPath();
    pen.moveTo(...place(event));
    pen.lineTo(...place(event));
    pen.stroke();
  };
  canvas.onpointermove = (event) => {
    if (!drawing) return;
    pen.lineTo(...place(event));
    pen.stroke();
  };
  canvas.onpointerup = canvas.onpointercancel = () => {
    if (drawing) send();
    drawing = false;
  };
  clear.onclick = () => {
    wipe();
    setTriggerValue('drawn', '');
  };
}
