"""A login as the quickstart of Flask has it: everything is in flask.session."""

import sys

from flask import Flask, jsonify, redirect, request, session

PASSWORDS = {"alice": "wonderland", "bob": "cheshire-cat"}

app = Flask(__name__)
app.secret_key = "change me"


@app.post("/login")
def login():
    username = request.form["username"]
    if PASSWORDS.get(username) != request.form["password"]:
        return "wrong", 401
    session["username"] = username
    return redirect("/me")


@app.get("/me")
def me():
    if "username" not in session:
        return "log in first", 401
    return jsonify(username=session["username"], theme=session.get("theme"), language=session.get("language"))


@app.post("/settings")
def settings():
    if "username" not in session:
        return "log in first", 401
    session.update(request.form.items())
    return redirect("/me")


@app.post("/logout")
def logout():
    session.clear()
    return redirect("/")


app.run(port=int(sys.argv[1]))
