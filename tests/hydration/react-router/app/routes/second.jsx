export default function Second() {
  return (
    <main>
      <h1 id="second">Second</h1>
      <img src="https://ads.acme.example/second.gif" width="1" height="1" alt="" />
    </main>
  );
}
