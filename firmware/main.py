"""What a board runs at power-on."""

from tallystick_node import app, board

app.main(board.choose())
